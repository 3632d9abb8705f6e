package archtest

// module is the prefix of our own packages; the rules leave it and "internal/" out.
const module = "parley/"

// row says how high a package stands. A pattern that ends in /... covers the folder and everything below;
// the longest pattern that fits decides.
type row struct {
	height   int
	packages []string
}

var rows = []row{
	{0, []string{"uc", "sip", "sdp", "rtp", "stun", "xmldoc/...", "porttable"}},
	{1, []string{"sip/...", "media/...", "diag", "lane", "alarm", "person", "tomlfile"}},
	{2, []string{"flow/...", "stack", "bus", "store", "keyring", "cert", "topology", "config", "obs"}},
	{3, []string{"media/ports", "media/transport", "media/engine", "contract/...", "directory", "proxy", "interwork", "notify", "gate", "httpd", "website", "webticket", "service", "route", "plan/...", "probe", "hostfw"}},
	{5, []string{"service/...", "service/adminapi"}},
	{6, []string{"node"}},
	{7, []string{"cmd/..."}},
}

// planned packages have rules already and do not exist yet. An entry is removed when its package appears.
var planned []string

// outside are folders whose packages no rule speaks of: tests of the whole and benchmarks.
var outside = []string{"test/...", "bench/..."}

// rule forbids imports. From and to are patterns; to may name packages of others by their full path.
type rule struct {
	from   []string
	except []string // packages in from that the rule spares
	to     []string
	spare  []string // packages in to that are allowed
	// names are what may be used of a package in to all the same: its import is allowed when nothing else is.
	names    map[string][]string
	sentence string
}

var rules = []rule{
	{
		from:     []string{"uc", "sip/...", "sdp", "rtp", "media/...", "xmldoc/...", "lane", "porttable"},
		except:   []string{"media/ports", "media/transport", "media/engine"},
		to:       []string{"net", "net/http", "crypto/tls", "log/slog", "log", "os/exec"},
		sentence: "grammars and machines know no sockets and write no log: they take bytes and time and return what to do",
	},
	{
		from:     []string{"uc", "sip", "sdp", "rtp", "xmldoc/...", "porttable"},
		to:       []string{"*.*/..."},
		sentence: "vocabulary and grammars import the standard library and each other only, so that they can become public modules",
	},
	{
		from:     []string{"flow/...", "stack"},
		to:       []string{"directory", "topology", "config", "store", "bus", "contract/...", "service/...", "gate", "route"},
		sentence: "flow and stack know nothing of users, policy, store or bus: node fills their hooks",
	},
	{
		from:     []string{"gate", "route"},
		to:       []string{"store", "bus", "node"},
		sentence: "gate and route get their lookups through small interfaces that they define; what waits for store or bus does not belong there",
	},
	{
		from:     []string{"service/..."},
		except:   []string{"service", "service/all"},
		to:       []string{"service/...", "node", "flow/...", "gate", "route"},
		spare:    []string{"service"},
		names:    map[string][]string{"flow": {"Flow"}}, // what a registration or subscription came by, to hold and compare
		sentence: "a service meets others by SIP, by a contract, or by a store table; it imports no other service and not node, flow (but for the type Flow), gate or route",
	},
	{
		from:     []string{"contract/..."},
		to:       []string{"store", "directory", "topology", "config", "stack", "flow/...", "service/...", "node"},
		sentence: "a contract imports vocabulary and the bus only, and holds both sides: call and serve",
	},
	{
		from:     []string{"bus", "store"},
		to:       []string{"contract/...", "service/...", "directory"},
		sentence: "bus and store carry data whose meaning they do not know",
	},
	{
		from:     []string{"..."},
		except:   []string{"bus"},
		to:       []string{"github.com/nats-io/..."},
		sentence: "only bus speaks NATS",
	},
	{
		from:     []string{"..."},
		except:   []string{"store"},
		to:       []string{"github.com/jackc/...", "modernc.org/sqlite/...", "database/sql"},
		sentence: "only store speaks SQL drivers; others ask it",
	},
	{
		from:     []string{"..."},
		except:   []string{"service/replicator"},
		to:       []string{"github.com/go-ldap/...", "github.com/go-asn1-ber/..."},
		sentence: "only the User Replicator speaks LDAP",
	},
	{
		from:     []string{"..."},
		except:   []string{"media/transport"},
		to:       []string{"github.com/pion/..."},
		sentence: "only the network side of media uses pion, for DTLS and SRTP",
	},
	{
		from:     []string{"..."},
		except:   []string{"cert"},
		to:       []string{"crypto/ecdsa", "crypto/rsa", "crypto/ed25519", "crypto/ecdh"},
		names:    map[string][]string{"crypto/rsa": {"PublicKey", "VerifyPKCS1v15", "PKCS1v15DecryptOptions"}}, // to use keys that are there
		sentence: "only cert makes keys",
	},
	{
		from:     []string{"..."},
		except:   []string{"cmd/..."},
		to:       []string{"github.com/spf13/cobra"},
		sentence: "the command line is made in cmd; everything else is called by it",
	},
}

// exception is an import that a rule forbids and that is right all the same.
type exception struct{ from, to, because string }

var exceptions = []exception{
	{"contract/binding", "flow", "a binding holds the flow it came by, and only its owner's"},
}

// call forbids a call in the source of packages, tests left out.
type call struct {
	from     []string
	except   []string
	pkg      string
	names    []string
	sentence string
}

var calls = []call{
	{
		from:     []string{"uc", "sip/...", "sdp", "rtp", "media/...", "xmldoc/...", "porttable", "plan/..."},
		except:   []string{"media/transport", "media/engine"},
		pkg:      "time",
		names:    []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"},
		sentence: "time is an argument here, so that a test can be an hour long and take a millisecond",
	},
	{
		from:     []string{"..."},
		except:   []string{"cmd/..."},
		pkg:      "os",
		names:    []string{"Exit"},
		sentence: "only cmd ends the process",
	},
	{
		from:     []string{"..."},
		pkg:      "log",
		names:    []string{"Fatal", "Fatalf", "Fatalln", "Print", "Printf", "Println", "Panic", "Panicf"},
		sentence: "a logger comes through the constructor",
	},
}

// quiet packages start no goroutines.
var quiet = call{
	from:     []string{"uc", "sip/...", "sdp", "rtp", "media/...", "xmldoc/...", "porttable", "topology", "plan/..."},
	except:   []string{"media/transport", "media/engine"},
	sentence: "machines and grammars start no goroutines: whoever drives them owns the concurrency",
}
