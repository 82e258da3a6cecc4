"What `lmfs serve` hands out, to whom, and that no client can make it print a traceback or stop"
import socket
import struct
import threading
from http.client import HTTPConnection

import pytest

from lmfromscratch.engine.page import StaticFiles, page_server

policy = "default-src 'self'; img-src 'self' data:"
meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    "Serves a folder with what must not be seen beside what may; says nothing"
    top = tmp_path_factory.mktemp('serve')
    www = top/'www'
    (top/'secret.txt').write_text('secret')
    for o in ('worker.js', 'has/index.html', '.env', '.git/config', 'list/of/file.txt', 'list/.hidden/a.txt'):
        (www/o).parent.mkdir(parents=True, exist_ok=True)
        (www/o).write_text(o)
    (www/'index.html').write_text(f'<html>{meta}</html>')
    with open(www/'big.bin', 'wb') as f: f.truncate(50_000_000)
    links = {'out.txt': top/'secret.txt', 'up': top, 'dot.txt': www/'.env', 'inside.js': www/'worker.js',
             'loop': www/'loop', 'linked/index.html': top/'secret.txt'}
    (www/'linked').mkdir()
    for name, to in links.items(): (www/name).symlink_to(to)
    with page_server(www) as o:
        threading.Thread(target=o.serve_forever, daemon=True).start()
        yield o
        o.shutdown()


@pytest.fixture
def ask(server):
    "A function: the answer to a request, and its body"
    def ask(path, method='GET', **headers):
        c = HTTPConnection('127.0.0.1', server.server_port, timeout=10)
        c.putrequest(method, path, skip_host='Host' in headers)
        for k, v in headers.items():
            if v is not None: c.putheader(k, v)
        c.endheaders()
        r = c.getresponse()
        body = r.read()
        c.close()
        return r, body
    return ask


def connect(server): return socket.create_connection(('127.0.0.1', server.server_port), timeout=10)


def reset(s):
    "Hang up without a good-bye"
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()


def answer(s):
    "All that the server says until it hangs up"
    parts = []
    try:
        while part := s.recv(65_536): parts.append(part)
    except ConnectionResetError: pass # It did not read to the end of what was sent
    return b''.join(parts)


def join_handlers():
    for t in threading.enumerate():
        if 'process_request_thread' in t.name: t.join(10)


@pytest.fixture
def silent(server, ask, capfd):
    "Whatever a test does: nothing is printed, and the next client is served"
    yield
    assert ask('/')[0].status == 200
    join_handlers()
    assert capfd.readouterr() == ('', '')


@pytest.mark.parametrize('path', ['/', '/?model=bible', '/worker.js', '/has/', '/inside.js',
                                  '/list/of/file.txt'])
def test_files_are_served(ask, path):
    r, body = ask(path)
    assert r.status == 200 and int(r.headers['Content-Length']) == len(body) > 0
    assert ask(path, 'HEAD')[1] == b'' and ask(path, 'HEAD')[0].status == 200


@pytest.mark.parametrize('path', [
    '/none', '/list/', '/list/of/', '/linked/', '/.env', '/.git/config', '/%2egit/config', '/list/.hidden',
    '/list/.hidden/a.txt', '/dot.txt', '/out.txt', '/up', '/up/secret.txt', '/loop', '/../secret.txt',
    '/%2e%2e/secret.txt', '/worker.js/', '/%00', '/worker.js%00', '/%ED%A0%80', '/' + 'a'*9000,
    'a://[/../../list'])
def test_what_is_hidden_outside_or_impossible_is_not_there(ask, silent, path):
    r, body = ask(path)
    assert r.status == 404 and b'secret' not in body and b'file.txt' not in body


@pytest.mark.parametrize('host, status', [
    ('localhost', 200), ('LOCALHOST:8000', 200), ('127.0.0.1', 200), ('[::1]:80', 200), ('[::1', 421),
    ('evil.example', 421), ('127.0.0.1.evil.example', 421), ('localhost:80.evil.example', 421),
    ('', 421), (None, 421)])
def test_only_this_machines_names(ask, silent, host, status):
    r, body = ask('/', Host=host)
    assert r.status == status and (status == 200 or b'127.0.0.1' in body)


@pytest.mark.parametrize('method', ['POST', 'PUT', 'DELETE', 'OPTIONS', 'CONNECT', 'PROPFIND'])
def test_only_get_and_head(ask, silent, method): assert ask('/', method)[0].status == 501


def test_every_answer_has_the_headers(server, ask):
    want = {'X-Content-Type-Options': 'nosniff', 'Cross-Origin-Opener-Policy': 'same-origin',
            'Cross-Origin-Embedder-Policy': 'require-corp', 'Referrer-Policy': 'no-referrer',
            'Content-Security-Policy': f"{policy}; script-src 'self' 'wasm-unsafe-eval'",
            'Cache-Control': 'no-cache'}
    answers = [ask(o) for o in ('/', '/worker.js', '/has', '/none')]
    answers += ask('/', 'POST'), ask('/', Host='evil.example')
    assert [r.status for r, _ in answers] == [200, 200, 301, 404, 501, 421]
    for r, _ in answers: assert want.items() <= dict(r.headers).items()
    for wrong in (b'\x16\x03\x01\x02\n', b'a'*70_000 + b'\n'): # Broken so early that no version is known
        with connect(server) as s:
            s.sendall(wrong)
            said = answer(s).decode('latin-1')
        assert said.startswith('HTTP/1.0 4') and all(f'{k}: {v}\r\n' in said for k, v in want.items())


def test_a_page_without_a_policy_gets_none(tmp_path):
    (tmp_path/'index.html').write_text('<p>Content-Security-Policy')
    with page_server(tmp_path) as o: assert 'Content-Security-Policy' not in o.headers


@pytest.mark.parametrize('sent', [
    b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(range(256)) + b'\n', b'\n', b'GET\n',
    b'GET / HTTP/\xb2.0\n',
    b'GET / HTTP/1.1\nX: ' + b'a'*70_000, b'GET / HTTP/1.1\n' + b'X: a\n'*200, b'GET / HTTP/9.9\n\n',
    b'GET /' + b'a'*70_000 + b' HTTP/1.1\n\n', b''])
def test_what_is_no_request(server, silent, sent):
    with connect(server) as s:
        s.sendall(sent)
        s.shutdown(socket.SHUT_WR)
        assert b' 200 ' not in answer(s)


@pytest.mark.parametrize('sent', [b'', b'GET /ind', b'GET / HTTP/1.1\r\nHost: loc', b'\x16\x03'])
def test_clients_that_hang_up_early(server, silent, sent):
    s = connect(server)
    s.sendall(sent)
    reset(s)


def test_clients_that_hang_up_in_the_middle_of_a_file(server, silent):
    s = connect(server)
    s.sendall(b'GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n')
    assert s.recv(1000).startswith(b'HTTP/1.0 200')
    reset(s)


def test_idle_and_slow_clients_are_left(server, ask, silent, monkeypatch):
    monkeypatch.setattr(StaticFiles, 'timeout', 0.2)
    for sent in (b'', b'GET / HT', b'GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n'):
        with connect(server) as s:
            s.sendall(sent)
            assert ask('/')[0].status == 200 # By now the one before is being served
            join_handlers()
            assert len(answer(s)) < 50_000_000


def test_a_hundred_at_once(tmp_path):
    "All wait in the queue before the first is served"
    (tmp_path/'index.html').write_text('x')
    with page_server(tmp_path) as o:
        waiting = [connect(o) for _ in range(100)]
        threading.Thread(target=o.serve_forever, daemon=True).start()
        for s in waiting: s.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
        assert all(answer(s).startswith(b'HTTP/1.0 200') for s in waiting)
        for s in waiting: s.close()
        o.shutdown()


@pytest.mark.parametrize('port', [-1, 65_536, 10**30])
def test_no_such_port(tmp_path, port):
    (tmp_path/'index.html').write_text('x')
    with pytest.raises(ValueError, match='port must be from 0 to 65535, not'): page_server(tmp_path, port)
