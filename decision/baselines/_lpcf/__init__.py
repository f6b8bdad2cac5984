"""The function of lpcf as a baseline, fitted in an environment of its own."""

from decision.baselines._lpcf.fitting import Fit, fit_each, fit_lpcf
from decision.baselines._lpcf.function import LPCF, LPCFSettings

__all__ = ["LPCF", "Fit", "LPCFSettings", "fit_each", "fit_lpcf"]
