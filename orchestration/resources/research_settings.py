"""What people set in `configs/`, read when a run starts."""

from dataclasses import dataclass
from pathlib import Path

from market_data.universe import UniverseSettings, load_universe
from research.models.base import Base
from research.models.bases import load
from research.settings import Settings, load_feature_sets, load_settings
from research.tuning.spaces import Space, TuningSettings, load_space, load_tuning


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

    def tuning(self) -> TuningSettings:
        """Return how a search judges; raises as `load`."""
        return load_tuning(Path(self.folder))

    def tuned(self, base: str) -> tuple[Base, Space]:
        """Return a base with today's settings, and what may be tried of it; raises as `load`."""
        folder = Path(self.folder)
        found = load(base, folder / "models")
        return found, load_space(folder, found)

    def universe(self) -> UniverseSettings:
        """Return what is traded and where its data come from; raises as `load`."""
        return load_universe(Path(self.folder))
