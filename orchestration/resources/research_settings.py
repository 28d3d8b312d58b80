"""What people set in `configs/`, read when a run starts."""

from dataclasses import dataclass
from pathlib import Path

from market_data.universe import UniverseSettings, load_universe
from research.settings import Settings, load_feature_sets, load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ResearchSettings:
    """Read the settings in `folder`."""

    folder: str

    def load(self) -> Settings:
        """Return what a retrain reads; SettingsError names the file, the key and what is due."""
        universe = self.universe()
        return load_settings(
            Path(self.folder), universe.timeframe, universe.market["candles"].silent_bars
        )

    def feature_set(self) -> str:
        """Return the name of the set of features that is trained on; raises as `load`."""
        return load_feature_sets(Path(self.folder)).signal

    def universe(self) -> UniverseSettings:
        """Return what is traded and where its data come from; raises as `load`."""
        return load_universe(Path(self.folder))
