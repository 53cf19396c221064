"""One command turns a fresh Linux server into a verified Airflow 3 platform."""

__version__ = "0.1.0"
