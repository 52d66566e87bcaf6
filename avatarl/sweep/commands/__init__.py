"""What ``avatarl status | watch | logs | cancel | retry | reproduce`` do; none imports torch."""
