"""A subscriber, as the settings describe it. No secret is ever in its repr."""

from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal["webhook", "mqtt", "notify"]
Form = Literal["platefleet", "openalpr_alert", "openalpr_group", "platerecognizer"]
FORMS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True, slots=True)
class Target:
    """One subscriber."""

    name: str
    """Letters, digits, `-` and `_`: also the end of its consumer group's name."""
    kind: Kind
    """An HTTP POST, an MQTT message, or whatever an Apprise URL names: e-mail, chat, SMS."""
    url: str = field(repr=False)
    """May hold passwords: it is never logged."""
    secret: str = field(default="", repr=False)
    """Signs webhooks (HMAC-SHA256); empty: unsigned."""
    form: Form = "platefleet"
    lists: tuple[str, ...] = ()
    """Only alerts of these hotlists; empty: all."""
    priorities: tuple[str, ...] = ()
    """Only alerts of these priorities; empty: all."""
    picture: bool = True
    """Send the plate's picture."""
    timeout_s: float = 10.0
    """How long one try may last."""
