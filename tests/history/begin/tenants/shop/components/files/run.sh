#!/bin/sh
exec storefront --config /etc/storefront/app.conf
