import random
from decimal import Decimal

from app.guards.spend import Spend
from app.telemetry import Metrics


def test_the_metric_stays_at_the_exact_sum_over_a_hundred_thousand_charges() -> None:
    dice, metrics = random.Random(6), Metrics()
    spend, exact = Spend(metrics.spend_cny), Decimal(0)
    for _ in range(100_000):
        amount = Decimal(dice.randrange(400_000)).scaleb(-6) * dice.choice([0, 1])
        spend.add(amount)
        exact += amount
    assert spend.total == exact
    shown = metrics.registry.get_sample_value("imagesearch_spend_cny_total")
    assert shown is not None
    assert Decimal(shown).quantize(Decimal("1e-9")) == exact
