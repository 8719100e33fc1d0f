"""New plugin packages, from the template in this folder."""
