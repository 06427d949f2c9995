"""Chat templates of known families, and small ones for each feature, as inputs of make_golden.py."""

LLAMA3 = r"""{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message comes first, so it is taken out here. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\n" }}
{{- "Today Date: " + date_string + "\n\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\n\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}

{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Cannot put tools in the first user message when there's no first user message!") }}
{%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\n\n' -}}
    {{- "Given the following functions, please respond with a JSON for a function call.\n\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\n\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\n\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"""

QWEN3 = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\n\n' }}
    {%- endif %}
    {{- "# Tools\n\nYou may call one or more functions.\n\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools>\n\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' }}
        {{- content }}
        {{- '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}"""

CHATML = r"""{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

MISTRAL = r"""{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"""

MISTRAL_TOOLS = r"""{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
            {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- endif %}
{%- endfor %}
"""

ZEPHYR = r"""{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

GEMMA = r"""{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}{%- if messages[0]['content'] is string -%}{%- set first_user_prefix = messages[0]['content'] + '

' -%}{%- else -%}{%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}{%- endif -%}{%- set loop_messages = messages[1:] -%}{%- else -%}{%- set first_user_prefix = "" -%}{%- set loop_messages = messages -%}{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
"""

DEEPSEEK = r"""{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, system_prompt='', is_first_sp=true) %}{%- for message in messages %}{%- if message['role'] == 'system' %}{%- if ns.is_first_sp %}{% set ns.system_prompt = ns.system_prompt + message['content'] %}{% set ns.is_first_sp = false %}{%- else %}{% set ns.system_prompt = ns.system_prompt + '\n\n' + message['content'] %}{%- endif %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system_prompt }}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<｜User｜>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and 'tool_calls' not in message %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not ns.is_tool %}{{'<｜Assistant｜><think>\n'}}{% endif %}"""

PHI = r"""{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"""

FAMILIES = {"llama3": LLAMA3, "qwen3": QWEN3, "chatml": CHATML, "mistral": MISTRAL, "mistral_tools": MISTRAL_TOOLS, "zephyr": ZEPHYR,
            "gemma": GEMMA, "deepseek": DEEPSEEK, "phi": PHI}

TOOL = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a \"city\" <é>", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "enum": ["Paris", "東京"]}, "days": {"type": "integer", "default": 1.5}}, "required": []}}}
CALL = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "東京", "n": None}}}]}

CHATS = [
    {"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": True},
    {"messages": [{"role": "user", "content": "  Hi \n"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHello"}, {"role": "user", "content": "Bye 😀"}],
     "add_generation_prompt": False},
    {"messages": [{"role": "system", "content": "Be brief.\n"}, {"role": "user", "content": "é"}, {"role": "assistant", "content": "x"}, {"role": "user", "content": "?"}],
     "add_generation_prompt": True, "enable_thinking": False},
    {"messages": [{"role": "user", "content": "Weather?"}, CALL, {"role": "tool", "content": "sunny"}, {"role": "tool", "content": "22"}], "tools": [TOOL, TOOL],
     "add_generation_prompt": True},
    {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], "add_generation_prompt": True},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": " see "}, {"type": "image"}]}], "add_generation_prompt": True},
    {"messages": [], "add_generation_prompt": True},
]

# Each renders with this context, or fails in both.
CONTEXT = {"s": "Hello, World", "u": "héé日本😀", "n": 7, "f": 2.5, "t": True, "none": None, "l": [3, 1, 2], "e": [], "d": {"b": 1, "a": "x", "items": 5},
           "w": "  pad \n", "objs": [{"k": "B", "v": 2}, {"k": "a", "v": 1}, {"k": "B", "v": 3}], "nest": {"x": [1, {"y": [True, None, "q'\"\n"]}], "z": 1e20, "tiny": 1e-7},
           "lines": "one\n two\n\nthree\n", "big": 1234567890123456789}

FEATURES = r"""
{{ 1 + 2 * 3 - 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2.5 * 2 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}
{{ 1e3 }} {{ 1_000 }} {{ 0.1 + 0.2 }} {{ 1e16 }} {{ 123456789.0 }} {{ 1.0 }} {{ 1e-5 }} {{ 3 * 'ab' }} {{ [1] * 2 + [2] }} {{ (1, 2) + (3,) }}
{{ 'a' ~ 1 ~ none ~ true ~ 2.5 ~ [1, 'b'] }} {{ 'a' 'b' }} {{ "\x41\u00e9\n\t\\\q" }} {{ 'it\'s' }}
{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' == 1 }} {{ none == undefined_name }} {{ l == [3, 1, 2] }} {{ (1,) == [1] }}
{{ 1 in l }} {{ 9 not in l }} {{ 'ell' in s }} {{ 'b' in d }} {{ 1 in d }} {{ 'x' in undefined_name }} {{ not 1 in l }}
{{ 'yes' if t else 'no' }} [{{ 'yes' if not t }}] {{ 1 if 0 else 2 if 0 else 3 }} {{ none or 'x' }} {{ 0 and 1 }} {{ '' or [] or 'z' }} {{ not not 1 }}
{{ l[0] }} {{ l[-1] }} [{{ l[9] }}] {{ l[1:] }} {{ l[::-1] }} {{ l[-2:] }} {{ l[:1] }} {{ l[5:1] }} {{ u[0] }}{{ u[1:4] }}{{ u[::-1] }} {{ u[-1] }} {{ s[::2] }} {{ l[2:0:-1] }} {{ l[::2] }}
{{ d.a }} {{ d['b'] }} {{ d['items'] }} [{{ d.zz }}] [{{ d['zz'] }}] {{ d.get('a') }} {{ d.get('q') }} {{ d.get('q', 4) }} {{ d.keys()|list }} {{ d.values()|list }} {{ d.items()|list }} {{ nest.x[1].y[2] }} {{ l.0 }}
{{ nest }} {{ nest|tojson }} {{ nest|tojson(indent=2) }} {{ e|tojson }} {{ {}|tojson(indent=2) }} {{ u|tojson }} {{ '<a & \'b\'>\x07'|tojson }} {{ l|tojson(separators=(',', ':')) }} {{ d|tojson(sort_keys=true) }} {{ u|tojson(ensure_ascii=true) }}
{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ s.split(', ') }} {{ s.split() }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a  b c '.rsplit(none, 1) }} {{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 1) }} {{ s.startswith('He') }} {{ s.endswith(('x', 'ld')) }}
[{{ w.strip() }}] [{{ w.lstrip() }}] [{{ w.rstrip() }}] [{{ 'xxaxx'.strip('x') }}] [{{ 'éaé'.strip('é') }}] {{ 'ab'.join(['1', '2']) }} {{ s.find('World') }} {{ s.find('zz') }} {{ s.count('l') }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ lines.splitlines() }} {{ "o'neil mc-x".title() }} {{ 'ÉCOLE'.capitalize() }} {{ '12'.isdigit() }}
{{ s|upper }} {{ s|lower|title }} {{ "o'neil mc-x (y)"|title }} {{ 'ABC'|capitalize }} {{ s|length }} {{ u|length }} {{ d|length }} {{ l|count }} {{ undefined_name|length }} [{{ w|trim }}] {{ s|replace('l', 1) }} {{ 'a-b'|replace('-', '') }}
{{ l|join }} {{ l|join(', ') }} {{ objs|join('/', attribute='k') }} {{ undefined_name|default('dd') }} {{ ''|default('x') }} {{ ''|d('x', true) }} {{ none|default('x') }} {{ l|first }} {{ l|last }} [{{ e|first }}] {{ 'xyz'|first }}
{{ l|sort }} {{ l|sort(reverse=true) }} {{ ['b', 'A', 'c']|sort }} {{ ['b', 'A', 'c']|sort(case_sensitive=true) }} {{ objs|sort(attribute='v')|map(attribute='v')|list }} {{ l|reverse|list }} {{ 'abc'|reverse }} {{ [1, 2, 1]|unique|list }} {{ ['a', 'A']|unique|list }} {{ objs|unique(attribute='k')|map(attribute='v')|list }}
{{ objs|map(attribute='k')|map('upper')|list }} {{ objs|selectattr('v', 'gt', 1)|map(attribute='v')|list }} {{ objs|rejectattr('k', 'equalto', 'B')|list }} {{ l|select('odd')|list }} {{ l|reject('odd')|list }} {{ [0, 1, '']|select|list }} {{ objs|selectattr('nope')|list }} {{ objs|selectattr('k', 'in', ['a'])|list }} {{ objs|map(attribute='zz', default='-')|list }} {{ none|selectattr('k')|list }} {{ none|rejectattr('k')|list }} {{ none|map('upper')|list }} {{ none|select|list }} {{ d.nope|map(attribute='k')|list }}
{{ '42'|int }} {{ ' 4.7 '|int }} {{ 'x'|int }} {{ 'x'|int(5) }} {{ 4.9|int }} {{ '2.5'|float }} {{ 'x'|float }} {{ 5|string ~ 'a' }} {{ -3|abs }} {{ l|sum }} {{ l|max }} {{ l|min }} {{ objs|sum(attribute='v') }} {{ d|dictsort }} {{ d|items|list }} {{ 'safe<>'|safe }} {{ d|list }} {{ 'ab'|list }}
{{ lines|indent }}|{{ lines|indent(2, true) }}|{{ lines|indent(3, blank=true) }}|{{ lines|indent('> ') }}
{{ x is defined }} {{ s is defined }} {{ x is not defined }} {{ none is none }} {{ s is string }} {{ d is mapping }} {{ l is iterable }} {{ s is iterable }} {{ n is iterable }} {{ l is sequence }} {{ n is number }} {{ t is number }} {{ t is integer }} {{ f is float }} {{ t is boolean }} {{ t is true }} {{ 1 is true }} {{ 4 is even }} {{ 3 is odd }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 1 is eq 1 }} {{ 'a' is in ['a'] }} {{ 'ab' is lower }} {{ 'AB' is upper }} {{ x is undefined }} {{ range is callable }} {{ s is sameas s }}
{% for i in range(3) %}{{ i }}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }};{% endfor %} {{ range(2, 8, 3)|list }} {{ range(3, 0, -1)|list }}
{% for a in e %}x{% else %}none{% endfor %} {% for x in l if x > 1 %}{{ x }}/{{ loop.length }} {% else %}no{% endfor %} {% for k, v in d.items() %}{{ k }}={{ v }} {% endfor %} {% for x in l %}{{ loop.previtem }}<{{ x }}<{{ loop.nextitem }} {% endfor %} {% for k in d %}{{ k }}{% endfor %} {% for c in u %}{{ c }}.{% endfor %}
{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }} {% set ns = namespace(a=1, b='q') %}{% for i in l %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}[{{ ns.c }}] {% if t %}{% set y = 5 %}{% endif %}{{ y }}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set c = (1, 2) %}{{ c }} {% set d2 = dict(a=1) %}{{ d2 }} {% set blk %}in {{ s }}{% endset %}[{{ blk }}] {% set blk | trim | upper %}  up {% endset %}[{{ blk }}] {% for x in [1, 2, 3, 4] %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% macro m(a, b='B', c=none) %}<{{ a }}{{ b }}{{ c }}{{ s }}>{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(c=3, a=1) }}{{ m() }} {% macro fact(n) %}{% if n > 1 %}{{ n * (fact(n - 1)|int) }}{% else %}1{% endif %}{% endmacro %}{{ fact(6) }} {% set late = 'L' %}{% macro usel() %}{{ late }}{% endmacro %}{{ usel() }}
{% if 0 %}a{% elif '' %}b{% elif l %}c{% else %}d{% endif %} {% if x is defined and x %}q{% endif %} {% if not e %}empty{% endif %}
{% raw %}{{ not }} {% if %}{% endraw %} {# comment {{ x }} #}after {{ {'a': {'b': 1}}['a']['b'] }} {{ {'a': 1}.a }}{{ [1, [2, 3]][1][0] }} {{ ('a', 'b')[1] }} {{ (1) }} {{ () }} {{ [1, 2,] }}
{{ 'a' if n == 7 and f > 2 or false }} {{ n == 7 and 'x' }} {{ (n + 1) * 2 }} {{ -n }} {{ +n }} {{ - 2 + 3 }} {{ -n|abs }} {{ 'a' + 'b' | upper }} {{ ('a' + 'b') | upper }} {{ not n == 8 }}
{{ d is mapping and d.a is string }} {{ l | length > 2 }} {{ l|length == 3 and 'ok' }} {{ s.split(',')[0]|lower }} {{ (s|trim).startswith('H') }} {{ s[0]|lower ~ s[1:] }} {{ none }} {{ true }} {{ True }} {{ None }} {{ undefined_name }}
{%- if t -%}   tight   {%- endif -%}  end
  {#- c -#}   x {%+ if t %} plus {% endif +%}
 {{- ' y ' -}}  z
{{ big }} {{ f }} {{ 1.5e300 * 1e10 }} {{ 10 // 3 * 3 + 10 % 3 }} {{ 5 / 2 }} {{ 4 / 2 }} {{ 'x' * 0 }}| {{ [[1, 2], [3]]|map('first')|list }} {{ [[1, 2], [3]]|map('join', '-')|list }} {{ '%s' }}
{{ undefined_name.attr }}
{{ 1 ~ 2 + 3 }}
{{ 2 - 1 ~ 5 }}
{{ undefined_name + 1 }}
{{ 1 + 'a' }}
{{ l.append(1) }}
{{ none.foo.bar }}
{{ 1 < 'a' }}
{{ 'a' in 5 }}
{{ 1 / 0 }}
{{ undefined_name() }}
{{ raise_exception('told ' ~ n) }}
{{ m }} {{ none|length }}
{% set s.x = 1 %}
{% set a, b = [1] %}{{ a }}
{{ undefined_name|tojson }}
{{ d.__class__ }}
{{ 5|join }}
""".strip("\n").split("\n")

# Features whose text spans lines.
BLOCKS = [
    "   {% if t %}\n   indented\n   {% endif %}\n   {{ s }}   \n", "{{ \"a\\\nb\" }}",
    "{% for i in l %}\n  {{ i }}\n{% endfor %}\nend\n", "{% for i in l -%}\n  {{ i }}\n{%- endfor %}\nend\n\n", "a\n  {% if t %}b{% endif %}\n  {# c #}\nd", "  {% set x = 1 %}  \n{{ x }}\n",
    "\n\n{% if t %}\n\nx\n\n{% endif %}\n\n", "{{ s }}\n{{ s }}\n", "a  {%- if t %}  b  {%- endif %}  c", "x {{- s -}} y", "\r\na\r\n{% if t %}\r\nb\r{% endif %}\n", "   {%+ if t %}x{% endif %}",
    "{% raw %}\n  {{ x }}\n{% endraw %}\nz", "  {%- raw -%}\n  a\n  {%- endraw -%}  \n b", "a\n    {#- x -#}\n  b", "a {# x #}\nb", "{% macro m(x) %}\n  [{{ x }}]\n{% endmacro %}\n{{ m(1) }}\n{{- m(2) }}",
    "{% set b %}\n a\n b\n{% endset %}\n[{{ b }}]", "{{ '{{' }} {{ '%}' }} { % } {x}", "\u00a0{% if t %}x{% endif %}", "{% generation %}{{ s }}{% endgeneration %}!", "{% for m in objs %}{% generation %}\n{{ m.k }}\n{% endgeneration %}\n{% endfor %}",
]
