"""The theory of the SOC-ICNN paper as small studies: Propositions 3 and 5, and the complexity of A.7."""
