"""Where alerts are delivered, as settings. In: TOML tables or JSON. Out: checked targets; no secret is ever shown."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from delivery.target import Form, Kind, Target

NAME = r"^[A-Za-z0-9_-]{1,60}$"
TargetName = Annotated[str, Field(pattern=NAME)]
_SCHEMES: dict[str, tuple[str, ...]] = {"webhook": ("http", "https"), "mqtt": ("mqtt", "mqtts")}


class TargetSettings(BaseModel):
    """One target, `[targets.NAME]` in platefleet.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: Kind = "webhook"
    url: SecretStr
    secret: SecretStr | None = None
    form: Form = "platefleet"
    lists: tuple[str, ...] = ()
    priorities: tuple[Literal["low", "normal", "high"], ...] = ()
    picture: bool = True
    timeout_seconds: float = Field(10.0, gt=0, le=120)

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(value.get_secret_value())
            known = bool(parts.scheme and (parts.netloc or parts.path.strip("/"))) and (parts.port or 0) >= 0
        except ValueError:
            known = False
        if not known:
            raise ValueError("is no address such as https://host/path")
        return value

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "TargetSettings":
        schemes = _SCHEMES.get(self.kind)
        if schemes and urlsplit(self.url.get_secret_value()).scheme not in schemes:
            raise ValueError(f"the url of a {self.kind} begins with {' or '.join(f'{one}://' for one in schemes)}")
        if self.kind != "webhook" and self.secret is not None:
            raise ValueError("a secret signs webhooks; others have their passwords in the url")
        if self.kind == "notify" and self.form != "platefleet":
            raise ValueError("a notification is worded for people: it has no form")
        return self

    def target(self, name: str) -> Target:
        """What the delivery room takes."""
        return Target(
            name=name,
            kind=self.kind,
            url=self.url.get_secret_value(),
            secret=self.secret.get_secret_value() if self.secret else "",
            form=self.form,
            lists=self.lists,
            priorities=self.priorities,
            picture=self.picture,
            timeout_s=self.timeout_seconds,
        )
