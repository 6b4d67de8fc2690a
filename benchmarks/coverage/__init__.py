"""Every classifier of torchvision and one of every timm entry: read, cast, run, compared."""
