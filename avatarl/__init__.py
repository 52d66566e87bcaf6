"""Can a language model learn to write from random weights by reward alone?"""
