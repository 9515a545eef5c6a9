"""What the docks look like: they emit signals and obey setters."""
