"""The pages: log in, and the live map."""

from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET

from fieldops import logins
from fieldops.rights import current_posts
from fieldops.status import Role


class Login(LoginView):
    """Log in with a name and a password; guessing is slowed."""

    template_name = "command_center/login.html"
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        """Try."""
        forwarded = request.headers.get("X-Forwarded-For", "").split(",")[-1].strip()
        address = forwarded or request.META.get("REMOTE_ADDR", "")
        if not logins.may_try(request.POST.get("username", "")[:150], address):
            form = AuthenticationForm(request)
            message = _("Too many tries. Wait a minute.")
            context = self.get_context_data(form=form, too_many=message)
            return render(request, self.template_name, context, status=429)
        return super().post(request, *args, **kwargs)


@login_required
@ensure_csrf_cookie
@require_GET
def live_map(request: HttpRequest) -> HttpResponse:
    """The live map, for everyone with a post but residents."""
    if not any(post.role != Role.RESIDENT for post in current_posts(request.user)):
        return render(request, "command_center/no_post.html", status=403)
    return render(request, "command_center/live_map.html")


@require_GET
def health(request: HttpRequest) -> HttpResponse:
    """Whether this process can reach its database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"ok": True})
