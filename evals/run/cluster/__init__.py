"""Replicas of a model on the nodes of a cluster, behind one queue."""
