from django.apps import AppConfig


class MapServicesConfig(AppConfig):
    name = "map_services"
