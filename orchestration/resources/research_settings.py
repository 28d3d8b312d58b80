"""What researchers set in `configs/`, read when a run starts."""

from pathlib import Path

import dagster as dg

from research.settings import Settings, load_settings


class ResearchSettings(dg.ConfigurableResource):
    """Read the settings in `folder`."""

    folder: str

    def load(self) -> Settings:
        """Return the settings; raise SettingsError naming the file, the key, found and expected."""
        return load_settings(Path(self.folder))
