"""The colours and sizes of our own pages, for apps that want to look at home among them.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#styling
"""

from collections.abc import Mapping

from smart_auth.configuration import Configuration

# Those of pages/static/page.css in the light.
STYLE: Mapping[str, str] = {
    "color_background": "#f2f6f7",
    "color_error": "#9f1c24",
    "color_highlight": "#0a6469",
    "color_modal_backdrop": "#13212b",
    "color_success": "#175e30",
    "color_text": "#13212b",
    "dim_border_radius": "10px",
    "dim_font_size": "16px",
    "dim_spacing_size": "16px",
    "font_family_body": "system-ui, sans-serif",
    "font_family_heading": "system-ui, sans-serif",
}
NAME = "style.json"


def style_url(configuration: Configuration) -> str:
    """What the token reply carries as `smart_style_url`."""
    return configuration.endpoint(NAME)
