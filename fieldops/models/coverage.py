"""Every class in every place, to be asked who is responsible there: a view of the database, not a table."""

from django.db import models

from gridmap.models import District, GridUnit

from .standard import EventClass


class ClassInPlace(models.Model):
    """A class of the edition in force, and a place: cells that no rule tells apart, with how many they are.

    Street, regional group and committee are named always; communities and party groups only where a rule names
    them. So there are about as many places as there are rules for small areas, not as many as cells.
    """

    id = models.BigIntegerField(primary_key=True)
    event_class = models.ForeignKey(EventClass, models.DO_NOTHING, related_name="+")
    district = models.ForeignKey(District, models.DO_NOTHING, related_name="+")
    committee = models.ForeignKey(GridUnit, models.DO_NOTHING, related_name="+")
    regional_group = models.ForeignKey(GridUnit, models.DO_NOTHING, related_name="+")
    street = models.ForeignKey(GridUnit, models.DO_NOTHING, related_name="+")
    community = models.ForeignKey(GridUnit, models.DO_NOTHING, null=True, related_name="+")
    party_group = models.ForeignKey(GridUnit, models.DO_NOTHING, null=True, related_name="+")
    cells = models.PositiveIntegerField()

    class Meta:
        managed = False
        db_table = "fieldops_classinplace"
