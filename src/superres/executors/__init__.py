"""Where an upscale runs: in this process, or in processes of its own."""
