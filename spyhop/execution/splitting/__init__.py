"""Large orders become small ones: schedules, and a gateway that sends children and speaks as their parent."""
