# What differs between one instance and the next. Flask's instance folder: mounted, and not in the image.
TITLE = "The guest book of Example Street 1"
MAIL_FROM = "guestbook@example.org"
MAIL_TO = "owner@example.org"
