"""Texts and values for invented returns."""

COMMENTS = (
    "Коробка пришла мятая, внутри трещина на корпусе.",
    "Привезли не тот цвет: заказывал чёрный, а это синий.",
    "Не включается. Заряжал всю ночь, ничего.",
    "Царапина во всю крышку, фото прилагаю",
    "Размер не подошёл, ткань тоньше, чем на картинке",
    "Не хватает одной ножки и пакета с винтами!",
    "Бутылка протекла, всё залито :(",
    "Упаковка вскрыта, плёнки нет, вещью явно пользовались",
    "Запах пластика не выветривается третий день",
    "Скол на углу.\nВидно на втором фото.",
    "Заказывал 2 шт., в посылке одна",
    "Шов разошёлся после первой примерки, прошу вернуть деньги",
)
REASONS = {
    "BAD_QUALITY": ("NOT_WORKING", "BROKEN", "INCOMPLETENESS"),
    "DOES_NOT_FIT": ("USER_DID_NOT_LIKE", "USER_CHANGED_MIND"),
    "WRONG_ITEM": ("WRONG_ITEM", "WRONG_COLOR", "DID_NOT_MATCH_DESCRIPTION"),
    "DAMAGE_DELIVERY": ("DAMAGED", "WRAPPING_DAMAGED", "BAD_PACKAGE"),
}
DECISIONS = ("REFUND_MONEY", "FAST_REFUND_MONEY", "DECLINE_REFUND", "REPAIR", "SEND_TO_EXAMINATION")
REFUND_STATUSES = ("STARTED_BY_USER", "REFUND_IN_PROGRESS", "DECISION_MADE", "REFUNDED", "REJECTED")
#: Which of eight returns await the seller's decision, and with which status: of DBS, and of the other models.
AWAITING = {0: "WAITING_FOR_DECISION", 3: "PREMODERATION_DECISION_WAITING"}
SHIPMENT_STATUSES = ("CREATED", "RECEIVED", "IN_TRANSIT", "READY_FOR_PICKUP", "PICKED")
SKUS = ("чайник-1.7л", "KRESLO/007", "lamp.led 5W", "Сумка «Вояж», синяя", "SKU-000417", "nabor_otv#12")
STORES = ("Чайная лавка", "Дом и сад", "Свет и тепло", "Северный склад")
