# Prints the rows of ss -tnp that can matter for the paths to the API server, and counts all.
# A line that is no plain row is printed too.
#
# begin: the first line of the output, unless ss prints nothing.
# peers: addresses whose rows are printed, whatever their ports.
# kinds: of how many different processes the first row is printed.
# proxy: whether a process named kube-proxy exists.
# Each of the first rows is printed at once, the others 32 at a time.
function show(line) {
    kept++;
    waiting = waiting line "\n";
    if (kept < 200 || kept % 32 == 0) flush();
}
function flush() { printf "%s", waiting; waiting = ""; fflush(); }
BEGIN {
    number = split(peers, list, " ");
    for (i = 1; i <= number; i++) {
        is_peer[list[i]] = 1; is_peer["[" list[i] "]"] = 1; is_peer["[::ffff:" list[i] "]"] = 1;
    }
}
/^eks-netcheck status [0-9]+$/ { status = $3; next; }
begin != "" { print begin; fflush(); begin = ""; }
NR == 1 && $1 == "State" { print; fflush(); next; }
NF == 0 { next; }
# The processes of the row above, as some versions wrap them.
/^[ \t]*users:\(\(/ {
    named++;
    nameless -= is_nameless;
    is_nameless = 0;
    if (held == "") { sockets++; show($0); }
    else if (/"kubelet"|"kube-proxy"/) { sockets++; show(held); show($0); }
    held = "";
    next;
}
{
    sockets++;
    held = "";
    is_nameless = 0;
    if (/users:\(\(/) named++; else is_nameless = ($1 == "ESTAB");
    nameless += is_nameless;
    if (/"kubelet"|"kube-proxy"/ || $4 ~ /:10250$/ || $5 ~ /:443$/) { show($0); next; }
    if (number && match($5, /:[0-9]+$/) && (substr($5, 1, RSTART - 1) in is_peer)) { show($0); next; }
    if ($0 !~ /^[A-Z][A-Z0-9-]* +[0-9]+ +[0-9]+ +[^ ]+:[0-9]+ +[^ ]+:[0-9]+ *(users:\(\(".*\)\) *)?$/) {
        show($0);
        next;
    }
    at = index($0, "users:((");
    if (!at) { held = $0; next; }
    if (kinds > 0) {
        name = substr($0, at + 9, 16);
        name = substr(name, 1, index(name, "\""));
        if (!(name in is_known)) { is_known[name] = 1; kinds--; show($0); }
    }
}
END {
    flush();
    if (begin == "") printf "# eks-netcheck end ss=%s sockets=%d kept=%d named=%d nameless=%d kube-proxy=%s\n",
        status, sockets, kept, named, nameless, proxy;
    exit (status == "" ? 1 : status);
}
