"""Prime numbers."""


def is_prime(number: int) -> bool:
    return all(number % divisor for divisor in range(2, number))
