"""What every view of the command center's interface begins with."""

from typing import Any

from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.views import APIView

from fieldops.errors import NotPermitted
from fieldops.models import User
from fieldops.rights import current_posts
from fieldops.status import Role


class CommandView(APIView):
    """Staff with a session; residents have their own app."""

    authentication_classes = [SessionAuthentication]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse accounts without a staff post."""
        super().initial(request, *args, **kwargs)
        if not isinstance(request.user, User):
            raise NotPermitted
        self.person = request.user
        self.posts = [post for post in current_posts(request.user) if post.role != Role.RESIDENT]
        if not self.posts:
            raise NotPermitted
