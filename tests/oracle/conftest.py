"""The components that the oracle's tests train."""

from oracle.components import oracle_components as oracle_components
