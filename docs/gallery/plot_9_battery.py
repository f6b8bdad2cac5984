"""
A battery planned a day ahead
=============================

A household wants to buy electricity when it is cheap: each evening it plans the next day's battery, before it knows the
day's load. What a plan costs on average, for what is known the evening before, is learned from simulated days. Shows
:func:`decision.problem`, :class:`decision.sets.Horizon` and batches of certified decisions.
"""

# %%
# The cost of a plan
# ------------------
# A plan x holds charge and discharge of the four periods of a day, in kWh. The forecast is the context. Drawing more
# than 4 kWh in a period costs extra.
import matplotlib.pyplot as plt
import numpy as np

import decision
from decision import surrogates

price, spread = np.array([0.15, 0.30, 0.25, 0.40]), np.random.default_rng(0).normal(scale=0.5, size=(50, 1, 4))


def bill(x, forecast):
    """Return the mean bill in euro over 50 deviations from the forecast, one row per plan."""
    drawn = np.maximum(forecast + spread, 0) + x[:, 0::2] - x[:, 1::2]
    return (price * np.maximum(drawn, 0) + 0.25 * np.maximum(drawn - 4, 0)).sum(axis=2).mean(axis=0)


# %%
# Plans that a battery can follow
# -------------------------------
# 6 kWh, 3 kW, 95 % efficient each way, half full at both ends.
day = decision.Horizon.storage(4, capacity=6.0, power=3.0, efficiency=0.95, initial=3.0, final=3.0, inputs=(0, 1))

# %%
# Learn and decide
# ----------------
# The network is convex in the plan for every forecast. 20 days are decided at once, each with a proven gap.
task = decision.problem(bill, day, sample_contexts=lambda count, rng: rng.uniform(0.5, 4.0, size=(count, 4)))
model = surrogates.make(task)
decision.fit(model, task.sample(contexts=200, candidates=16, seed=0), epochs=40, seed=0, progress=False)

forecasts = task.sample_contexts(20, seed=1).numpy()
plans = decision.decide(model, day, forecasts)
print(plans)

# %%
# What the plans save
# -------------------
idle, planned = bill(np.zeros((20, 8)), forecasts), bill(plans.x.numpy(), forecasts)
print(f"mean bill per day: {idle.mean():.2f} euro with an idle battery, {planned.mean():.2f} euro with the plans")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
periods = np.arange(4)
x = plans.x.numpy()[0]
left.bar(periods - 0.2, forecasts[0], 0.4, label="forecast load")
left.bar(periods + 0.2, forecasts[0] + x[0::2] - x[1::2], 0.4, label="bought, as planned")
left.set(xticks=periods, xticklabels=[f"{p:.2f}" for p in price], xlabel="price, euro per kWh", ylabel="kWh")
left.set_title("One day")
left.legend(fontsize="small")
order = np.argsort(idle)
right.plot(idle[order], "o-", label="idle battery")
right.plot(planned[order], "s-", label="planned")
right.set(xlabel="day, by its bill with an idle battery", ylabel="euro", ylim=(0, None), title="Twenty days")
right.legend(fontsize="small")
plt.show()

# %%
# The full case has hours, real loads, hot water and a year of days:
# ``python -m experiments.storage --preset year --data FOLDER --plot storage.png``. There the learned plan costs
# 5.64 euro per day, against 6.88 with an idle battery and 5.36 with perfect knowledge of the load.
