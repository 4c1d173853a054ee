"""How much memory a plan needs, by phase."""

from __future__ import annotations

from pydantic import Field

from wan_core.api.model import Document


class MemoryEstimate(Document):
    """GiB by phase on the device, on the host and on disk.

    On the CPU the device is the host: phases are host memory then, and `host_gib` is their peak.
    """

    text_gib: float = Field(ge=0)
    denoise_gib: float = Field(ge=0)
    decode_gib: float = Field(ge=0)
    host_gib: float = Field(ge=0)
    disk_gib: float = Field(ge=0)

    @property
    def peak_gib(self) -> float:
        return max(self.text_gib, self.denoise_gib, self.decode_gib)

    @property
    def peak_phase(self) -> str:
        phases = {"text": self.text_gib, "denoise": self.denoise_gib, "decode": self.decode_gib}
        return max(phases, key=phases.__getitem__)
