"""The Review tab: pairs of answers, judged blind, corrected, adjudicated and frozen into sets."""
