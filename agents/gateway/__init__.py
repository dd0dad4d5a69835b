"""ISO 8583 over TCP: a card network's link in, the engine's decisions out. docs/gateway.md says how to drive it.

framing      bytes of a connection to frames and back
cards        the card file: card number -> account id and card token
management   sign-on, sign-off and echo (0800)
gateway      what to do with a frame, a reply, a deadline that has passed; neither sockets nor Kafka
in_flight    requests that wait for their reply, and replies that nobody waits for any more
timeout      what is said and undone when no decision came in time
bus          the way to the engine and back: Kafka
connection   one network link: reads while there is room, writes answers in the order they come
service      all of it, from start to stop
"""
