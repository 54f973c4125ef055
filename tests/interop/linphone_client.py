"""A headless linphone: liblinphone's C interface through ctypes, one call, sound from and to files, real-time text.

usage: linphone_client.py CONFIGURATION PLAYED.wav RECORDED.wav [--dial URI] [--type TEXT] [--seconds S]

Answers the first call, or dials. What happens is told as one JSON object a line: registered, state, text (what came since the
last one), ended. Ends with the call, or when the time is over. linphone.py starts it.
"""

import argparse
import ctypes
import json
import sys
import time

POINTER, TEXT, INT, BOOL, CHAR = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_ubyte, ctypes.c_uint32
REGISTERED = 2  # LinphoneRegistrationOk
RUNNING, ERROR, ENDED, RELEASED = 8, 13, 14, 19  # LinphoneCallState
BYTE_ORDER_MARK, LINE_SEPARATOR = "\ufeff", "\u2028"
TURN_S = 0.01
SETTLE_S, LETTER_S = 0.3, 0.03


def tell(event, **details):
    print(json.dumps({"event": event, **details}), flush=True)


class Core:
    """liblinphone's core object; a function is declared where it is called."""

    def __init__(self, configuration, played, recorded):
        self.library = ctypes.CDLL("liblinphone.so.10")
        self.call("linphone_core_set_log_level_mask", None, (ctypes.c_uint, 0))
        factory = self.call("linphone_factory_get", POINTER)
        self.factory = factory
        nothing = (POINTER, None)
        self.core = self.call(
            "linphone_factory_create_core_3", POINTER, (POINTER, factory), (TEXT, configuration), (TEXT, None), nothing
        )
        if not self.core:
            raise SystemExit("liblinphone did not start")
        self.of_core("set_use_files", None, (BOOL, 1))
        self.of_core("set_play_file", None, (TEXT, played))
        self.of_core("set_record_file", None, (TEXT, recorded))
        self.of_core("enable_video_capture", None, (BOOL, 0))
        self.of_core("enable_video_display", None, (BOOL, 0))
        self.of_core("enable_realtime_text", INT, (BOOL, 1))
        self.of_core("start", INT)

    def call(self, name, result, *arguments):
        function = getattr(self.library, name)
        function.restype = result
        function.argtypes = [kind for kind, _ in arguments]
        values = [value.encode() if isinstance(value, str) else value for _, value in arguments]
        return function(*values)

    def of_core(self, name, result, *arguments):
        return self.call(f"linphone_core_{name}", result, (POINTER, self.core), *arguments)

    def registered(self):
        account = self.of_core("get_default_account", POINTER)
        return bool(account) and self.call("linphone_account_get_state", INT, (POINTER, account)) == REGISTERED

    def parameters(self, call):
        made = self.of_core("create_call_params", POINTER, (POINTER, call))
        self.call("linphone_call_params_enable_video", None, (POINTER, made), (BOOL, 0))
        self.call("linphone_call_params_enable_realtime_text", INT, (POINTER, made), (BOOL, 1))
        return made

    def keep(self, call):
        return self.call("linphone_call_ref", POINTER, (POINTER, call)) if call else None

    def dial(self, uri):
        address = self.call("linphone_factory_create_address", POINTER, (POINTER, self.factory), (TEXT, uri))
        parameters = self.parameters(None)
        return self.keep(
            self.of_core("invite_address_with_params", POINTER, (POINTER, address), (POINTER, parameters))
        )

    def answer(self):
        call = self.keep(self.of_core("get_current_call", POINTER))
        if call:
            parameters = self.parameters(call)
            self.call("linphone_call_accept_with_params", INT, (POINTER, call), (POINTER, parameters))
        return call

    def state(self, call):
        return self.call("linphone_call_get_state", INT, (POINTER, call))


class Chat:
    """The real-time text of a call: letters out, one by one, and letters in."""

    def __init__(self, core, call, text):
        self.core, self.left, self.next_letter = core, list(text), 0.0
        self.room = core.call("linphone_call_get_chat_room", POINTER, (POINTER, call))
        self.message = None

    def turn(self, now):
        if self.left and now >= self.next_letter:
            if self.message is None:
                create = "linphone_chat_room_create_message_from_utf8"
                self.message = self.core.call(create, POINTER, (POINTER, self.room), (TEXT, ""))
            letter = ord(self.left.pop(0))
            self.core.call("linphone_chat_message_put_char", INT, (POINTER, self.message), (CHAR, letter))
            self.next_letter = now + LETTER_S
        came = ""
        while letter := self.core.call("linphone_chat_room_get_char", CHAR, (POINTER, self.room)):
            came += chr(letter)
        came = came.replace(BYTE_ORDER_MARK, "").replace(LINE_SEPARATOR, "\n")
        if came:
            tell("text", text=came)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("configuration")
    parser.add_argument("played")
    parser.add_argument("recorded")
    parser.add_argument("--dial")
    parser.add_argument("--type", default="")
    parser.add_argument("--seconds", type=float, default=20)
    wanted = parser.parse_args()
    core = Core(wanted.configuration, wanted.played, wanted.recorded)
    call = chat = told = None
    ready = over = False
    end = time.monotonic() + wanted.seconds
    # a moment more after the end: the file of the recording is closed and the BYE answered then
    while (now := time.monotonic()) < end:
        core.of_core("iterate", None)
        time.sleep(TURN_S)
        if not ready:
            ready = core.registered()
            if ready:
                tell("registered")
            continue
        if call is None:
            call = core.dial(wanted.dial) if wanted.dial else core.answer()
            continue
        state = core.state(call)
        if state != told:
            told = state
            tell("state", state=state)
        if state == RUNNING:
            chat = chat or Chat(core, call, wanted.type)
            if not chat.next_letter:
                chat.next_letter = now + SETTLE_S
            chat.turn(now)
        if state in (ERROR, ENDED, RELEASED) and not over:
            over, end = True, min(end, now + SETTLE_S)
    tell("ended", state=told)
    return 0 if over else 1


if __name__ == "__main__":
    sys.exit(main())
