"""What BuildKit's own frontend says of Dockerfiles: one table, held against it and against ours.

Each case is what follows ``FROM scratch``, unless it brings its own FROM.
"""

from __future__ import annotations

REFUSED = {
    "EXPOSE abc": "EXPOSE abc is not a port",
    "EXPOSE 80 # web": "EXPOSE # is not a port",
    "EXPOSE 80/foo": "EXPOSE 80/foo is not a port",
    "EXPOSE 100-90": "EXPOSE 100-90 is not a port",
    "EXPOSE 99999": "EXPOSE 99999 is not a port",
    'ARG P="80 x"\nEXPOSE $P': "EXPOSE x is not a port",
    "STOPSIGNAL FOO": "STOPSIGNAL FOO is not a signal",
    "STOPSIGNAL SIGINFO": "STOPSIGNAL SIGINFO is not a signal",
    "STOPSIGNAL 0": "STOPSIGNAL 0 is not a signal",
    "STOPSIGNAL RTMIN+16": "STOPSIGNAL RTMIN+16 is not a signal",
    "STOPSIGNAL SIG TERM": "STOPSIGNAL SIG TERM is not a signal",
    "SHELL /bin/sh -c": "SHELL is not in JSON form",
    "SHELL ['/bin/sh']": "SHELL is not in JSON form",
    "SHELL /bin/sh -c\nFROM scratch": "SHELL is not in JSON form",
    "HEALTHCHECK curl -f http://localhost": "HEALTHCHECK curl is unknown",
    'HEALTHCHECK ["curl"]': 'HEALTHCHECK ["curl"] is unknown',
    "HEALTHCHECK CMD": "HEALTHCHECK CMD needs a command",
    "HEALTHCHECK NONE now": "HEALTHCHECK NONE takes no arguments",
    "HEALTHCHECK --interval=5 CMD x": "--interval=5 is not a duration",
    "HEALTHCHECK --timeout=$T CMD x": "--timeout=$T is not a duration",
    "HEALTHCHECK --retries=-1 CMD x": "--retries=-1 is not a number",
    "ONBUILD FROM x": "ONBUILD cannot hold FROM",
    "ONBUILD ONBUILD RUN x": "ONBUILD cannot hold ONBUILD",
    "ONBUILD MAINTAINER x": "ONBUILD cannot hold MAINTAINER",
    "FROM scratch AS 1a": "'1a' cannot name a stage",
    "FROM scratch AS a/b": "'a/b' cannot name a stage",
    "FROM scratch AS $X": "'$X' cannot name a stage",
    "FROM --platform=foo scratch": "FROM --platform=foo: 'foo' is not a platform",
    "FROM --platform=linux/a/b/c scratch": "FROM --platform=linux/a/b/c: 'linux/a/b/c' is not a platform",
    "FROM --platform=$X scratch": "FROM --platform=$X: '' is not a platform",
    "RUN --mount=type=secret x": "--mount=type=secret does not name a secret",
    "RUN --mount=type=secret,env=X,required=true x": "--mount=type=secret does not name a secret",
    'VOLUME ["/a", ""]': "VOLUME names an empty path",
    "ENV A=1 =2": "ENV without a name before the =",
    "LABEL =b": "LABEL without a name before the =",
    "ARG =b": "ARG without a name before the =",
}
"""Case -> how ours begins to say what is wrong."""

TAKEN = (
    "EXPOSE 80/tcp 90-100/udp 0 80/TCP 80/ 80/sctp 065 +80 65535",
    "EXPOSE 80:80 127.0.0.1:80:80 80-81:90-91 $NOTHING",
    'ARG P="80 81"\nEXPOSE $P',
    'EXPOSE "80"',
    "EXPOSE abc\nFROM scratch",
    "STOPSIGNAL FOO\nFROM scratch",
    "STOPSIGNAL sigterm",
    "STOPSIGNAL RTMIN+15",
    "STOPSIGNAL SIGRTMAX-14",
    'STOPSIGNAL "SIGIOT"',
    "STOPSIGNAL 999",
    "STOPSIGNAL -1",
    'SHELL ["/bin/bash"]',
    "HEALTHCHECK --interval=bad none",
    "HEALTHCHECK --interval=1h30m --timeout=.5s --start-period=0 --start-interval=+5s --retries=0 cmd x",
    "ONBUILD FOO x",
    "ONBUILD EXPOSE abc",
    "ONBUILD COPY --from=x a b",
    "RUN --mount=type=secret x\nFROM scratch",
    "FROM scratch AS Foo_1.x-2",
    *(
        f"FROM --platform={each} scratch"
        for each in ("linux", "mips", "darwin", "wasm", "x86_64", "linux/x86-64", "arm64/v8", "linux/bogus")
    ),
)
"""What has no fault, although it may look as if it had."""


def dockerfile(case: str) -> str:
    """The case as a file that BuildKit has something to build of."""
    head = "" if case.startswith("FROM") else "FROM scratch\n"
    return f"{head}{case}\nWORKDIR /made\n"
