"""A venue made of arithmetic: a generative market, and a gateway that fills orders against the tape."""
