#!/bin/sh
# Tell a chat which returns newly await the seller's decision. In config.toml:
#
#   [report]
#   on_finish = "/etc/market-photos/tell-chat.sh"
#
# It reads the report of a run on its standard input. Before the first run: chmod 755 this file, put the bot's token
# into the file below (chmod 600, owned by the user of market-photos), and set the number of the chat.
set -eu
TOKEN_FILE=${TOKEN_FILE:-/etc/market-photos/bot-token}
CHAT=${CHAT:--1001234567890}
API=${API:-https://api.telegram.org}

text=$(python3 -c '
import json, sys

news = json.load(sys.stdin).get("newly_awaiting", [])
if news:
    print(f"Ждут вашего решения: {len(news)}")
for back in news[:20]:
    order, number, store, photos = (back[name] for name in ("order", "return", "store", "photos"))
    hours = back["hours_left"]
    left = "срок неизвестен" if hours is None else f"осталось примерно {hours:.0f} ч" if hours > 0 else "48 ч прошли"
    print(f"Заказ {order}, возврат {number}, {store}: фото — {photos}, {left}")
if len(news) > 20:
    print(f"… и ещё {len(news) - 20}")
')
[ -n "$text" ] || exit 0

# The address holds the token: through standard input, no other user of this machine sees it among the processes.
printf 'url = "%s/bot%s/sendMessage"\n' "$API" "$(cat "$TOKEN_FILE")" |
    curl --silent --show-error --fail --max-time 20 --output /dev/null --config - \
        --data-urlencode "chat_id=$CHAT" --data-urlencode "text=$text"
