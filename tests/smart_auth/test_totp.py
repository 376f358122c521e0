"""Codes of authenticator apps and recovery codes."""

import pyotp
import pytest

from smart_auth.totp import (
    accepted_step,
    new_recovery_codes,
    new_secret,
    normal_recovery_code,
    provisioning_uri,
    qr_code,
)

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
NOW = 1_800_000_015.0
STEP = int(NOW) // 30


@pytest.mark.parametrize(("offset", "accepted"), [(-2, None), (-1, STEP - 1), (0, STEP), (1, STEP + 1), (2, None)])
def test_a_code_is_good_for_its_own_step_and_the_ones_beside_it(offset, accepted):
    code = pyotp.TOTP(SECRET).generate_otp(STEP + offset)
    assert accepted_step(SECRET, code, NOW, None) == accepted


def test_a_step_that_was_used_is_never_accepted_again_nor_is_an_earlier_one():
    code = pyotp.TOTP(SECRET).generate_otp(STEP)
    assert accepted_step(SECRET, code, NOW, STEP - 1) == STEP
    assert accepted_step(SECRET, code, NOW, STEP) is None
    assert accepted_step(SECRET, code, NOW, STEP + 1) is None


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "１２３４５６", "12 34", "-12345"])
def test_what_is_no_code_is_refused(code):
    assert accepted_step(SECRET, code, NOW, None) is None


def test_a_code_may_be_typed_with_the_space_the_app_shows():
    code = pyotp.TOTP(SECRET).generate_otp(STEP)
    assert accepted_step(SECRET, f"{code[:3]} {code[3:]}", NOW, None) == STEP


def test_the_qr_code_is_an_svg_element_without_a_style_of_its_own():
    svg = qr_code(provisioning_uri(new_secret(), "anna@example.org"))
    assert svg.startswith("<svg ")
    assert "style" not in svg
    assert "<?xml" not in svg


def test_recovery_codes_differ_and_are_known_however_they_are_typed():
    codes = new_recovery_codes()
    assert len(set(codes)) == 10
    for code in codes:
        assert normal_recovery_code(code.upper().replace("-", " ")) == code


@pytest.mark.parametrize("text", ["", "123456", "abcd-efgh", "llll-llll-llll-llll", "x" * 100])
def test_what_is_no_recovery_code_is_none(text):
    assert normal_recovery_code(text) is None
