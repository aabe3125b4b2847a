"""Settings of the whole suite."""

from hypothesis import HealthCheck, settings

# How long a machine takes says nothing about what is tested; a loaded one must not fail.
settings.register_profile("deepcolor", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("deepcolor")
