"""Administration (CONTRACT 8): what is built of /api."""


def api(d, method, path, role="admin"):
    token = d.token("root", role=role) if role else d.token("eve")
    return d.http(method, "/api/" + path, token=token)


def test_only_admins(daemon):
    api(daemon, "GET", "stats", role=None).problem(403, "insufficient_scope")
    api(daemon, "GET", "stats", role="moderator").problem(403, "insufficient_scope")
    daemon.http("GET", "/api/stats").problem(401, "unauthorized")


def test_stats_and_topics(daemons):
    with daemons.join("tower", sub="ada"):
        assert api(daemons, "GET", "stats").ok().json()["websockets"] == 1
        topics = api(daemons, "GET", "topics").ok().json()["topics"]
        assert [t["topic"] for t in topics if t["members"]] == ["chat/tower"]
        members = api(daemons, "GET", "topics/chat%2Ftower/members").ok().json()
        assert members["count"] == 1 and members["members"][0]["id"] == "ada"


def test_list_and_end_connections(daemons):
    clients = [daemons.join("belfry", sub=f"u{i}") for i in range(5)]
    listed = api(daemons, "GET", "connections").ok().json()["connections"]
    chats = {c["user"]["id"]: c for c in listed if c["kind"] == "websocket" and c["rooms"] == ["belfry"]}
    assert sorted(chats) == [f"u{i}" for i in range(5)]
    assert api(daemons, "DELETE", "connections/" + chats["u3"]["id"]).status == 204
    clients[3].expect_close(4403)
    clients[2].say("still here", room="belfry")
    for c in clients[:3] + clients[4:]:
        c.close()


def test_end_a_stream(daemons):
    with daemons.sse(topic="ops/**", sub="listener") as s:
        listed = api(daemons, "GET", "connections").ok().json()["connections"]
        mine = [c for c in listed if c["kind"] == "events" and c["user"]["id"] == "listener"]
        assert mine[0]["topics"] == ["ops/**"]
        assert api(daemons, "DELETE", "connections/" + mine[0]["id"]).status == 204
        s.end()


def test_paths_and_methods(daemon):
    assert api(daemon, "POST", "stats").status == 405
    assert api(daemon, "GET", "nothing").status == 404
    assert api(daemon, "GET", "kick").status == 501
    for wrong in ("00000000000000ff", "x", "0001", "0x01000000000001"):
        assert api(daemon, "DELETE", "connections/" + wrong).status == 404
