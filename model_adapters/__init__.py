"""One kind of server or engine per file: `model(rest, options) -> Model`, where `rest` is the part after the colon."""
