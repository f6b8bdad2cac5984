"""The function of lpcf as a baseline, fitted in an environment of its own."""

from decision.baselines.lpcf.fitting import Fit, fit_each, fit_lpcf
from decision.baselines.lpcf.function import LPCF, LPCFSettings

__all__ = ["LPCF", "Fit", "LPCFSettings", "fit_each", "fit_lpcf"]
