"""How much of the best setting is luck: splits, deflation, overfitting, the verdict, its page."""
