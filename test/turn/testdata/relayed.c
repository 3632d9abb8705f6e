/* An ICE agent of libnice, the library of pidgin-sipe, that knows nothing but its relay: what it tells of itself are its
 * relayed candidates, so that two of them meet only through the relay.
 *   usage: relayed rfc|r2 controlling|controlled RELAY-IP PORT USER PASSWORD udp|tcp|tls
 * It prints "cred UFRAG PWD", one "cand IP PORT PRIORITY FOUNDATION TRANSPORT" a candidate, and "end"; it reads the same about
 * the other side. The controlling one then says something until it was answered 50 times, and ends with "answered". */
#include <agent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static GMainLoop *loop;
static gboolean controlling;
static int answers;
static NiceAgent *agent;
static guint stream;

static void gathered(NiceAgent *a, guint s, gpointer d)
{
    gchar *u, *p;
    if (!nice_agent_get_local_credentials(a, s, &u, &p)) exit(3);
    printf("cred %s %s\n", u, p);
    for (GSList *i = nice_agent_get_local_candidates(a, s, 1); i; i = i->next) {
        NiceCandidate *k = i->data;
        char ip[INET6_ADDRSTRLEN];
        nice_address_to_string(&k->addr, ip);
        fprintf(stderr, "candidate type %d transport %d %s\n", k->type, k->transport, ip);
        if (k->type == NICE_CANDIDATE_TYPE_RELAYED)
            printf("cand %s %u %u %s %d\n", ip, nice_address_get_port(&k->addr), k->priority, k->foundation, k->transport);
    }
    printf("end\n");
    fflush(stdout);

    char line[600], ru[300] = "", rp[300] = "";
    GSList *r = NULL;
    while (fgets(line, sizeof line, stdin) && strncmp(line, "end", 3)) {
        unsigned port, pr;
        int transport;
        char ip[64], f[64];
        if (sscanf(line, "cred %299s %299s", ru, rp) == 2) continue;
        if (sscanf(line, "cand %63s %u %u %63s %d", ip, &port, &pr, f, &transport) != 5) continue;
        NiceCandidate *k = nice_candidate_new(NICE_CANDIDATE_TYPE_RELAYED);
        k->component_id = 1; k->stream_id = s; k->transport = NICE_CANDIDATE_TRANSPORT_UDP; k->priority = pr;
        g_strlcpy(k->foundation, f, NICE_CANDIDATE_MAX_FOUNDATION);
        nice_address_set_from_string(&k->addr, ip); nice_address_set_port(&k->addr, port); k->base_addr = k->addr;
        r = g_slist_append(r, k);
    }
    if (!*ru) { g_main_loop_quit(loop); return; }
    nice_agent_set_remote_credentials(a, s, ru, rp);
    nice_agent_set_remote_candidates(a, s, 1, r);
}

static gboolean say(gpointer d)
{
    nice_agent_send(agent, stream, 1, 172, "\x80\x00 what an agent says, which looks like RTP and is nothing but text, padded to the length of "
        "twenty milliseconds of telephony: ........................................................................");
    return TRUE;
}

static void state(NiceAgent *a, guint s, guint c, guint st, gpointer d)
{
    fprintf(stderr, "state %s\n", nice_component_state_to_string(st));
    if (st == NICE_COMPONENT_STATE_READY && controlling && !answers) g_timeout_add(20, say, NULL);
}

static void received(NiceAgent *a, guint s, guint c, guint len, gchar *b, gpointer d)
{
    if (!controlling) { nice_agent_send(a, s, c, len, b); return; }
    if (len != 172) { fprintf(stderr, "got %u octets\n", len); return; }
    if (++answers == 50) { printf("answered\n"); fflush(stdout); g_main_loop_quit(loop); }
}

int main(int n, char **v)
{
    if (n < 8) { fprintf(stderr, "usage: see the head of relayed.c\n"); return 2; }
    controlling = !strcmp(v[2], "controlling");
    loop = g_main_loop_new(NULL, FALSE);
    agent = nice_agent_new(g_main_loop_get_context(loop), !strcmp(v[1], "r2") ? NICE_COMPATIBILITY_OC2007R2 : NICE_COMPATIBILITY_RFC5245);
    g_object_set(agent, "controlling-mode", controlling, "upnp", FALSE, NULL);
    NiceAddress l;
    nice_address_init(&l); nice_address_set_from_string(&l, "127.0.0.1"); nice_agent_add_local_address(agent, &l);
    g_signal_connect(agent, "candidate-gathering-done", G_CALLBACK(gathered), NULL);
    g_signal_connect(agent, "component-state-changed", G_CALLBACK(state), NULL);
    stream = nice_agent_add_stream(agent, 1);
    nice_agent_attach_recv(agent, stream, 1, g_main_loop_get_context(loop), received, NULL);
    nice_agent_set_relay_info(agent, stream, 1, v[3], atoi(v[4]), v[5], v[6],
        !strcmp(v[7], "tls") ? NICE_RELAY_TYPE_TURN_TLS : !strcmp(v[7], "tcp") ? NICE_RELAY_TYPE_TURN_TCP : NICE_RELAY_TYPE_TURN_UDP);
    if (!nice_agent_gather_candidates(agent, stream)) return 1;
    g_main_loop_run(loop);
    return 0;
}
