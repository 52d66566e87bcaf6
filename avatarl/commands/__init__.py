"""Commands of ``avatarl`` that need both results and training or tracking."""
