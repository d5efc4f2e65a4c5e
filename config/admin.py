"""Admin pages of what other packages bring, in this admin's style and for operators only.

A user, a group or a second factor tells one tenant about another.
"""

from typing import Any

# Importing these registers their pages, whatever the order of the installed apps.
import axes.admin as axes
import django_otp.plugins.otp_totp.admin as otp
import rest_framework_api_key.admin as api_key
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth import admin as auth
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from subscribers.tenant_admin import OperatorOnly

# Our own keys belong to a workspace; failed logins are enough of what axes keeps.
admin.site.unregister([User, Group, TOTPDevice, AccessAttempt, AccessLog, AccessFailureLog])
admin.site.unregister(api_key.APIKey)


@admin.register(User)
class UserAdmin(OperatorOnly, auth.UserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_filter_submit = True


@admin.register(Group)
class GroupAdmin(OperatorOnly, auth.GroupAdmin, ModelAdmin):
    pass


@admin.register(TOTPDevice)
class TOTPDeviceAdmin(OperatorOnly, otp.TOTPDeviceAdmin, ModelAdmin):
    pass


@admin.register(AccessAttempt)
class AccessAttemptAdmin(OperatorOnly, axes.AccessAttemptAdmin, ModelAdmin):
    """Deleting one lets the person try again at once."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
