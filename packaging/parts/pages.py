"""The Markdown files of the repository, as packages have them."""

import re

from .release import ROOT

# A link to another file of the repository; its text may be of several lines.
LINK = re.compile(r"\[([^\[\]]*)\]\((?![a-z]+:|#)([^()\s]+)\)")


def text(release, name):
    """A file whose relative links lead to the repository; without one, their text is all that is left of them."""
    page = release.page
    link = lambda form: f"[{form[1]}]({page}{form[2]})" if page else form[1]  # noqa: E731
    return LINK.sub(link, (ROOT / name).read_text()).encode()
