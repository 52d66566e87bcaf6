"""Where results go: files on disk always, wandb if wanted."""
