"""AWS AI Solution Kit: image_super_resolution."""
