"""This file puts its folder on the import path of the tests."""
