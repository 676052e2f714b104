"""Image classifiers: weights, preprocessing, and tuned parts that are folded into a backbone. timm and torch are imported on first use."""
