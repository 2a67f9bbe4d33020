"""What lies inside the sandbox, the only part of this room that a student's code can see."""
